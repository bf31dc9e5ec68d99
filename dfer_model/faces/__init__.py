"""From a raw video to the faces in it: found, followed, cut out, and shown to a model in windows of time."""
