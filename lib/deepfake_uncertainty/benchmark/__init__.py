"""SynthFF and SynthAV: face-forgery benchmarks that the project renders itself, in the FaceForensics++ and FakeAVCeleb layouts."""
