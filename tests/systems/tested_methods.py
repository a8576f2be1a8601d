"""The methods that every test of a whole transmission runs through."""

METHODS = [
    "jscgc",
    "jscgc_fast",
    "mambajscc_psnr",
    "diffjscc",
    "diffcom",
    "deepjscc",
    "swinjscc",
    "mambajscc_psnr_pixels",
]
