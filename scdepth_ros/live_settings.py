"""depth_node's parameters as ROS sees them: declared from the table, checked as a batch, never half applied."""

from __future__ import annotations

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException

from scdepth_core.errors import ConfigError
from scdepth_ros.parameter import CONFIGURE, START, Parameter
from scdepth_ros.parameters import BY_NAME, PARAMETERS, NodeSettings

_OF_EVERY_NODE = ("use_sim_time", "start_type_description_service", "qos_overrides.", "bond_")


class LiveSettings:
    """Declares every parameter on a node and keeps the settings that are in force.

    Args:
        node: a rclpy node.
        is_configured: tells whether what takes effect on configure is in use now, and must not change.
        on_change: called with the new settings after a change.

    Attributes:
        current: NodeSettings, replaced as a whole when parameters change; safe to read from any thread.

    Raises:
        ConfigError: when an initial value, from the command line or a YAML file, is not allowed.
    """

    def __init__(self, node, is_configured, on_change):
        self._is_configured, self._on_change = is_configured, on_change
        self.current = NodeSettings.of({p.name: _declared(node, p) for p in PARAMETERS})
        self._warn_of_strangers(node)
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, changes) -> SetParametersResult:
        """Check the whole batch together with the values that stay; take it over only when all of it is right."""
        ours = {change.name: change.value for change in changes if change.name in BY_NAME}
        try:
            before = {name: self.current.value(name) for name in BY_NAME}
            new = NodeSettings.of({**before, **ours})
            for name in ours:
                self._check_moment(name, new)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.current = new
        self._on_change(new)
        return SetParametersResult(successful=True)

    def _check_moment(self, name: str, new: NodeSettings) -> None:
        changed = new.value(name) != self.current.value(name)
        if changed and BY_NAME[name].applies == CONFIGURE and self._is_configured():
            raise ConfigError(
                f"{name} takes effect on configure and the node is configured – deactivate and clean it up first"
            )

    @staticmethod
    def _warn_of_strangers(node) -> None:
        """A misspelt name in a YAML file is ignored by ROS; say so."""
        given = getattr(node, "_parameter_overrides", {})
        for name in given:
            if name not in BY_NAME and not name.startswith(_OF_EVERY_NODE):
                node.get_logger().warning(
                    f"parameter '{name}' is not one of depth_node's and is ignored; there are {', '.join(BY_NAME)}"
                )


def _declared(node, parameter: Parameter):
    """The initial value. ROS checks its type and range before we do; what it refuses is said in our words."""
    try:
        return node.declare_parameter(parameter.name, parameter.default, _descriptor(parameter)).value
    except ParameterException as error:
        parameter.checked(node._parameter_overrides[parameter.name].value)
        raise ConfigError(str(error)) from error


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    """The row of the table in ROS's words. A double is typed dynamically, so that `max_depth:=10` is welcome."""
    descriptor = ParameterDescriptor(
        description=parameter.description,
        additional_constraints=parameter.allowed,
        read_only=parameter.applies == START,
        dynamic_typing=isinstance(parameter.default, float),
    )
    if parameter.low is not None and isinstance(parameter.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=parameter.low, to_value=parameter.high)]
    elif parameter.low is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high))]
    return descriptor
