/**
 * The names and errors of libkrun's C interface: 0 or an id on success, a negative errno otherwise.
 *
 * @module krun/capi
 */
export type { CString } from './arguments.ts';
export {
  krun_add_console_port_inout,
  krun_add_console_port_tty,
  krun_add_serial_console_default,
  krun_add_virtio_console_default,
  krun_add_virtio_console_multiport,
  krun_disable_implicit_console,
  krun_set_console_output,
  krun_set_kernel_console,
} from './console.ts';
export {
  KRUN_DISK_FORMAT_QCOW2,
  KRUN_DISK_FORMAT_RAW,
  KRUN_DISK_FORMAT_VMDK,
  KRUN_SYNC_FULL,
  KRUN_SYNC_NONE,
  KRUN_SYNC_RELAXED,
  krun_add_disk,
  krun_add_disk2,
  krun_add_disk3,
  krun_set_data_disk,
  krun_set_root_disk,
  krun_set_root_disk_remount,
} from './disks.ts';
export { krun_set_env, krun_set_exec, krun_set_rlimits, krun_set_workdir } from './exec.ts';
export {
  KRUN_KERNEL_FORMAT_ELF,
  KRUN_KERNEL_FORMAT_IMAGE_BZ2,
  KRUN_KERNEL_FORMAT_IMAGE_GZ,
  KRUN_KERNEL_FORMAT_IMAGE_ZSTD,
  KRUN_KERNEL_FORMAT_PE_GZ,
  KRUN_KERNEL_FORMAT_RAW,
  krun_set_firmware,
  krun_set_kernel,
  krun_set_smbios_oem_strings,
} from './kernel.ts';
export {
  KRUN_LOG_LEVEL_DEBUG,
  KRUN_LOG_LEVEL_ERROR,
  KRUN_LOG_LEVEL_INFO,
  KRUN_LOG_LEVEL_OFF,
  KRUN_LOG_LEVEL_TRACE,
  KRUN_LOG_LEVEL_WARN,
  KRUN_LOG_OPTION_NO_ENV,
  KRUN_LOG_STYLE_ALWAYS,
  KRUN_LOG_STYLE_AUTO,
  KRUN_LOG_STYLE_NEVER,
  KRUN_LOG_TARGET_DEFAULT,
  krun_init_log,
  krun_set_log_level,
} from './log.ts';
export {
  COMPAT_NET_FEATURES,
  krun_add_net_tap,
  krun_add_net_unixgram,
  krun_add_net_unixstream,
  krun_set_gvproxy_path,
  krun_set_net_mac,
  krun_set_passt_fd,
  type MacAddress,
  NET_FEATURE_CSUM,
  NET_FEATURE_GUEST_CSUM,
  NET_FEATURE_GUEST_TSO4,
  NET_FEATURE_GUEST_TSO6,
  NET_FEATURE_GUEST_UFO,
  NET_FEATURE_HOST_TSO4,
  NET_FEATURE_HOST_TSO6,
  NET_FEATURE_HOST_UFO,
  NET_FLAG_DHCP_CLIENT,
  NET_FLAG_VFKIT,
} from './net.ts';
export {
  KRUN_FS_ROOT_TAG,
  krun_add_virtiofs,
  krun_add_virtiofs2,
  krun_add_virtiofs3,
  krun_disable_implicit_init,
  krun_fs_add_overlay_dir,
  krun_fs_add_overlay_file,
  krun_get_default_init,
  krun_set_mapped_volumes,
  krun_set_root,
  type Out,
} from './root.ts';
export {
  krun_check_nested_virt,
  krun_create_ctx,
  krun_free_ctx,
  krun_get_max_vcpus,
  krun_get_shutdown_eventfd,
  krun_has_feature,
  krun_set_nested_virt,
  krun_set_vm_config,
  krun_setgid,
  krun_setuid,
  krun_split_irqchip,
} from './shape.ts';
export { krun_start_enter } from './start.ts';
export {
  KRUN_TSI_HIJACK_INET,
  KRUN_TSI_HIJACK_UNIX,
  krun_add_vsock,
  krun_add_vsock_port,
  krun_add_vsock_port2,
  krun_disable_implicit_vsock,
  krun_set_port_map,
} from './vsock.ts';
