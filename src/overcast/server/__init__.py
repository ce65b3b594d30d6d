"""Jobs over HTTP: scenes of a folder are mapped in processes of their own, and shown on the page of the viewer."""
