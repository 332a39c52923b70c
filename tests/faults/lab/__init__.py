"""A stack of the product's own template that can be told to break.

The product knows nothing of it. A copy of the project's tree has two functions' `app.py` replaced
by ones that import the real module, wrap its ports, and shorten its times; everything else in
the tree is a link to the product.
"""
