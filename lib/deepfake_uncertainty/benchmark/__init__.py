"""SynthFF and SynthAV: a face-forgery benchmark that the project renders itself, in real data sets' layouts."""
