export type {
  ConsoleOptions,
  KernelOptions,
  MachineOptions,
  NetworkOptions,
  OverlayOptions,
  ShareOptions,
  StreamKind,
  DiskOptions,
  RootDiskOptions,
  VolumeOptions,
  VsockOptions,
  VsockPortOptions,
} from '../config/options.ts';
