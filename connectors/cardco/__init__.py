"""A supplier of vouchers and phone top-ups that members buy with points: SOAP, asked what landed."""
