"""`edgekit serve`: models behind a REST API, and the same in a Flask or Django application of the user's own.

`engine` runs the models, `api` answers requests without knowing a web framework, `flask`, `django` and `server` are
thin layers between it and the network.
"""
