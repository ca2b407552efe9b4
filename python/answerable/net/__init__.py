"""What leaves the machine or comes from outside: witnesses, anchors, exporters, providers.

Nothing here is imported by `import answerable`.
"""
