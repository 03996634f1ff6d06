"""Small data sets, networks and tables that several tests share."""
