"""The analyses of the notebooks: one module or package per notebook, of the notebook's name.

They do not import each other. What two of them share lies in a package below.
"""
