export type {
  ConsoleOptions,
  KernelOptions,
  MachineOptions,
  NetworkOptions,
  OverlayOptions,
  ShareOptions,
  StreamKind,
  VolumeOptions,
  VsockOptions,
  VsockPortOptions,
} from '../config/options.ts';
