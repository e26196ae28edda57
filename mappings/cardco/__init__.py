"""What we tell the voucher supplier, in their words."""
