"""Bulk imports that speak to several services: the composition root's companion, above all of them."""
