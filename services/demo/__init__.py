"""An invented company, so that a first start has something to show: its people, its customers, two years of selling."""
