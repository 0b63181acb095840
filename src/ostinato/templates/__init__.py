"""Chat templates, programs by strangers, are rendered here: by Jinja2, in a process that can do nothing else.

`environment` is the language, `confinement` the walls, `worker` the process behind them, `renderer` our end
of its pipe.
"""
