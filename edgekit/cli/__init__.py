"""The command line: one file per command; parse, call a room, print. stdout is the result, stderr the progress."""
