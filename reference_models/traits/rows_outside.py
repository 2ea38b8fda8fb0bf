"""The rows of traits of what lies outside the model and is not reached by its examples.

(file, family) -> builder -> (what it exercises, where the difficulty comes from).
"""

from __future__ import annotations

AS_IMPORTED = "by reference means as imported, not as it is now"
ONE_PROCESS = "data model: id() is unique among objects that live at the same time"
OBJECTS = "data model: equal immutable objects may be one or two"
NAN = "Python documentation: `in` finds NaN by identity"
SEED = "data model: PYTHONHASHSEED"
ANEW = "pickle documentation: stateful objects"
BASE_REDUCE = "the base class's `__reduce__` knows no attributes"
DEFAULTS = "a new process has the defaults"
IN_COMMON = "pickle documentation: `__dict__` is updated, not replaced"

ROWS: dict[tuple[str, str], dict[str, tuple[str, str]]] = {
    ("trait_unreached.py", "unreached"): {
        "function_behind_a_ufunc": ("a global `np.frompyfunc` made anew", AS_IMPORTED),
        "divergence_registered_with_torch": ("`register_kl` in the builder", "torch documentation: register_kl"),
        "parts_named_by_annotations": ("get_type_hints of annotations that are texts", "PEP 563"),
        "global_generator_in_the_middle": ("a module's random.Random, drawn from before the save", AS_IMPORTED),
        "global_looked_up_by_text": ("a rebound global, found through `globals()`", AS_IMPORTED),
        "global_means_another_function": ("a global that was one function of a library, and now another", AS_IMPORTED),
        "global_weak_table": ("a module's WeakKeyDictionary by the model's layer", AS_IMPORTED),
        "environment_variable_unreached": ("a variable of the environment, read by a rare branch", DEFAULTS),
        "library_table_extended": ("an entry added to a table of the standard library", AS_IMPORTED),
        "operator_registered_later": ("an operator of torch.library, registered by the builder", AS_IMPORTED),
        "private_class_registry": ("a registry of plugins in a private class attribute", AS_IMPORTED),
        "mangled_class_counter": ("a counter in a class attribute of two underscores", "data model: name mangling"),
        "enumeration_with_a_private_attribute": ("an attribute set on an enumeration", AS_IMPORTED),
        "cached_answer_gone_stale": (
            "functools.lru_cache remembers an answer from before a setting changed",
            "functools documentation: lru_cache",
        ),
        "cached_answer_still_right": (
            "control: functools.lru_cache remembers what a call would give",
            "functools documentation: lru_cache",
        ),
        "hard_masked_array": ("a masked array whose mask refuses to be lifted", "numpy documentation: hardmask"),
        "attribute_of_a_masked_array": ("a masked array with an attribute", BASE_REDUCE),
        "slot_of_an_array_subclass": ("a subclass of ndarray with `__slots__`", BASE_REDUCE),
        "database_of_rows": ("a row_factory that its code does not set where it opens the database again", ANEW),
        "queue_begun_anew": ("as much waits in a queue, and something else", ANEW),
        "name_that_an_error_missed": ("the `name` of an AttributeError that is kept", BASE_REDUCE),
    },
    ("trait_one_process.py", "one process"): {
        "table_keyed_by_id": ("a dict whose keys are id() of parts", ONE_PROCESS),
        "table_keyed_by_pointer": ("a dict whose keys hold a tensor's address", "torch documentation: data_ptr"),
        "table_keyed_by_hash_of_text": ("a dict whose keys are hashes of words", SEED),
        "buckets_by_hash_of_text": ("`hash(word) % n`, the hashing trick by the wrong hash", SEED),
        "labels_in_the_order_of_a_set": ("a set of two texts, numbered in the order that it has", SEED),
    },
    ("trait_in_common.py", "in common"): {
        "dict_that_is_its_own_attributes": ("`self.__dict__ = self` in a dict", IN_COMMON),
        "attributes_in_common": ("two objects of one `__dict__`", IN_COMMON),
        "layer_and_its_shallow_copy": ("`copy.copy` of a layer: one table of weights", IN_COMMON),
    },
    ("trait_asked.py", "asked"): {
        "text_compared_by_is": ("a text that code compares with a global by `is`", OBJECTS),
        "nan_compared_by_is": ("np.nan, and `is np.nan`", OBJECTS),
        "nan_as_a_key": ("a NaN that is a key and is looked up as the object that it is", NAN),
        "nan_as_a_key_of_its_own": ("control: a NaN that is a key, and nothing looks it up", NAN),
        "nan_sought_in_a_list": ("an attribute that is a NaN, and `index` of it", NAN),
        "nan_in_two_lists_that_are_compared": ("one NaN in two lists, and `==`", NAN),
        "tuple_compared_by_is": ("one of two equal tuples, found by `is`", OBJECTS),
        "function_called_otherwise": ("a function whose `__name__` the program set", AS_IMPORTED),
        "docstring_changed": ("a docstring set while the program ran, and read", AS_IMPORTED),
        "subclass_made_by_the_builder": ("`__subclasses__()` as the registry", AS_IMPORTED),
        "view_read_beyond_its_ends": ("as_strided reads the storage around a view", "torch documentation: as_strided"),
        "temporary_file_by_its_path": ("a file of its own in the folder for temporary files", "tempfile: mkstemp"),
        "method_of_a_library_class_patched": ("string.Formatter has another format_field", "monkey patching"),
        "class_registered_with_a_library": ("Sequence.register of the user's class", "abc documentation: register"),
        "codec_of_its_own": ("codecs.register in the builder", "codecs documentation: register"),
        "part_that_it_pickles_itself": (
            "pickle.dumps of a part, whose class no module has when it came by value",
            "pickle documentation: classes go by name",
        ),
        "model_that_saves_itself": ("a method saves the whole model", "torch documentation: serialization"),
        "source_of_its_class": ("a digest of the class's source tells the version", "inspect documentation: getsource"),
        "file_beside_its_code": ("a file beside the module, by `inspect.getfile`", "an archive of code is no folder"),
        "table_by_the_full_names_of_classes": (
            "a table whose keys begin with a class's `__module__`",
            "torch.package: modules have names of their own",
        ),
    },
    ("trait_process.py", "process"): {
        "default_dtype_changed": ("torch.set_default_dtype before the save", DEFAULTS),
        "default_dtype_needed": ("every prediction makes tensors of the changed default dtype", DEFAULTS),
        "numpy_errors_raised": ("np.seterr makes an error of a division", DEFAULTS),
        "numpy_prints_fewer_digits": ("np.set_printoptions, and arrays as text", DEFAULTS),
        "warnings_are_errors": ("a filter makes an error of a warning", DEFAULTS),
        "time_zone_of_the_process": ("TZ set and time.tzset called", DEFAULTS),
        "long_integers_allowed": (
            "sys.set_int_max_str_digits lifted",
            "Python documentation: integer string conversion",
        ),
        "global_forward_hook": ("a forward hook on all modules of the process", "torch: register_module_forward_hook"),
        "function_of_torch_patched": ("torch.nn.functional has another softsign", "monkey patching"),
        "name_among_the_builtins": (
            "gettext.install() puts `_` among the names that every module has",
            "gettext documentation: install",
        ),
        "environment_variable_of_a_library": ("COLUMNS set, which the standard library reads", DEFAULTS),
    },
    ("trait_found.py", "found"): {
        "global_named_by_an_attribute": ("`globals()[self.key]`, and the global was rebound", AS_IMPORTED),
        "attribute_of_its_own_module": ("`sys.modules[__name__].LIMIT`, and it was rebound", AS_IMPORTED),
        "global_in_an_expression": ("a text with a global in it, evaluated", AS_IMPORTED),
        "environment_variable_named_by_an_attribute": (
            "a variable of the environment by a name in the model",
            DEFAULTS,
        ),
        "attribute_of_the_name_of_a_global": (
            "control: `getattr` by a text that is a global's name too",
            "attributes and globals are two namespaces",
        ),
        "global_written_here_and_read_there": (
            "a lambda reads the global that a method writes",
            "by value, each function may have globals of its own",
        ),
        "default_argument_of_a_library": ("`__kwdefaults__` of the standard library changed", "monkey patching"),
        "object_of_a_library_changed": ("calendar.setfirstweekday", "calendar documentation: setfirstweekday"),
        "precision_of_decimals": ("decimal's precision, and a Decimal only among the values", DEFAULTS),
        "attribute_of_a_decimal_subclass": ("a Decimal subclass with an attribute", BASE_REDUCE),
        "attribute_of_a_datetime_subclass": ("a datetime subclass with an attribute", BASE_REDUCE),
        "subclass_of_an_iterator": ("a subclass of itertools.count in mid-sequence", "itertools documentation"),
        "exception_with_a_cause": ("an exception raised from another", "exceptions documentation: __cause__"),
        "view_of_a_dict_that_it_has": (
            "a mappingproxy that shows what is written into a dict",
            "cloudpickle: mappingproxy of a copy",
        ),
        "tensor_with_its_graph": ("a tensor computed from a parameter, with its graph", "pickle makes a leaf of it"),
        "database_opened_anew": ("`__setstate__` opens an empty database in memory", ANEW),
        "generator_begun_anew": ("`__setstate__` begins a generator again", ANEW),
        "hash_begun_anew": ("`__setstate__` begins a hash without its salt", ANEW),
        "thread_made_anew": ("control: `__setstate__` makes its thread again, under another number", ANEW),
        "schedule_of_an_optimizer": (
            "control: a schedule, whose mark on the optimizer's step is left out of copies",
            "torch documentation: lr_scheduler",
        ),
    },
    ("trait_beside.py", "files beside the code"): {
        "file_beside_read_when_built": ("control: a list that was read from a file beside the code", "a usual way"),
        "file_beside_read_at_each_call": ("a file that is found by `__file__`", "data model: __file__"),
        "file_beside_the_class": ("a file that is found by the class's source file", "inspect documentation: getfile"),
        "file_beside_read_as_a_resource": ("a file that the module's loader gives", "pkgutil documentation: get_data"),
        "file_beside_read_by_a_rare_branch": ("such a file, read only for long inputs", "data model: __file__"),
    },
}
