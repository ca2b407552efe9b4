"""Adapters to agent frameworks: each a thin layer over the one guard.

Nothing is imported here, so that `import answerable` loads no framework. Import the adapter itself:

    from answerable.integrations.langchain import AnswerableMiddleware
"""

__all__: list[str] = []
