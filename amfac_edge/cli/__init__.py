"""One module per command, thin: parse, call, print. Results go to stdout, everything for people to stderr."""
