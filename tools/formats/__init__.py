"""Literature as files: what is read into a corpus, and what a corpus is written to. One file a format."""
