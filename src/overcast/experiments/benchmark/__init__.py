"""Methods x data sets x seeds under equal conditions, resumable, with one report."""
