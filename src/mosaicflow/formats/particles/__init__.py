"""Points and oriented particles: star, tsv, txt, csv and ndjson."""
