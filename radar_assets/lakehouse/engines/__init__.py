"""Engines turn SQL over input files into output files; each is a module here, chosen by the setting `RADAR_ENGINE`."""
