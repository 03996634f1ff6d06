"""What a reader sees: figures and sidecars, executed notebooks, the ledger of claims, the site."""
