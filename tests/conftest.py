import os

pytest_plugins = ["shared.testing.servers"]

# What commands print is as wide as a terminal, and the processes of the tests differ in what they take for one.
os.environ["COLUMNS"] = "200"
