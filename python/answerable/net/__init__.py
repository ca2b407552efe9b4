"""What leaves the machine or comes from outside: witnesses, anchors, exporters.

Nothing here is imported by `import answerable`.
"""
