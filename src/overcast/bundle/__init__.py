"""The model bundle: weights, their record, the card and the STAC item that lie beside them."""
