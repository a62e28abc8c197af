"""How each kind of export can store kernels; the first is the default."""

SAVED_MODEL = ("float32", "bfloat16", "int8")
JS = ("float32", "float16", "int8")
