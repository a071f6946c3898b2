"""The command line: files in, task, files out."""
