"""Shows the structure of a DAG as text and as a picture."""
