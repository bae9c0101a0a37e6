pytest_plugins = ["shared.testing.servers"]
