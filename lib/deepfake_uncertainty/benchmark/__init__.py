"""SynthFF: a face-forgery benchmark that the project renders itself, in the FaceForensics++ layout."""
