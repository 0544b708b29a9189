from support.here import here

__all__ = ["here"]
