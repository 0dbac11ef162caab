"""From a data set to a `.keras` file with its spec. What needs Keras runs in a child process."""
