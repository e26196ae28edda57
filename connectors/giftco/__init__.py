"""A supplier of gifts that members buy with points: signed REST JSON, pre-orders that lapse."""
