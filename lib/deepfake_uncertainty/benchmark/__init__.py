"""SynthFF and SynthAV: a face-forgery benchmark that the project renders itself.

Both follow the folder layouts of real data sets: FaceForensics++ and FakeAVCeleb.
"""
