"""`jscgc demo`: a page on this machine that sends photographs and shows what each method receives.

    command -> server (loopback only) -> page: settings (choice) -> work (models, jscgc.transmission) -> shown, figures, markup

Only page, settings, work, results and server know Streamlit; nothing here is imported by the rest but the command.
"""
