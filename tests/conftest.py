"""The servers of a test run, one of each for everybody: started by the first test that asks, stopped at the end."""

pytest_plugins = ("tests.postgres", "tests.synapse", "tests.tornet")
