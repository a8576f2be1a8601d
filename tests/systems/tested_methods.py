"""The methods that every test of a whole transmission runs through."""

METHODS = [
    "jscgc",
    "jscgc_fast",
    "jscgc_one_step",
    "mambajscc_psnr",
    "diffjscc",
    "diffcom",
    "klt",
    "deepjscc",
    "swinjscc",
    "mambajscc_psnr_pixels",
]
