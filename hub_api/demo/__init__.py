"""``yipan demo``: a small retailer, its systems as simulators, and a day of orders with faults on."""
