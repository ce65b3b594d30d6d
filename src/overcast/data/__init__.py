"""Reading imagery: radiometry, rasters, chips, catalogs, splits and augmentation."""
