"""The program of a Raspberry Pi bundle: it classifies what a camera, a video or a folder shows, and tests itself.

It runs on any Linux machine. The bundle's `classify` calls `program.main`.
"""
