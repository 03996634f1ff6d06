"""Videos on disk to an index and to face tracks."""
