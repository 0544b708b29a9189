"""The names of the documents that `-o` offers; apart from what makes them, which takes a while to import."""

PLAN_DOCUMENTS = ("markdown", "junit", "sarif", "codequality", "html")
SITE_DOCUMENTS = ("sarif", "codequality")
