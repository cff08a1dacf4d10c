export type {
  ConsoleOptions,
  KernelOptions,
  MachineOptions,
  OverlayOptions,
  ShareOptions,
  StreamKind,
  VolumeOptions,
} from '../config/options.ts';
