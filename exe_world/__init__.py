"""The synthetic world: faces, photos, films and a photo site that anyone can make.

It supports claims about the method, never about real faces: every picture is drawn from known
labels, so the study can run with no key, no licence and no download.
"""
