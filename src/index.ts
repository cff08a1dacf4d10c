/**
 * The public surface: run a process in its own Linux microVM.
 *
 * @module krun
 */
export { createLogWriter, type Log, type LogLevel, type LogWriterOptions } from './api/log.ts';
export { type Attachment, attachConsole, attachPort, type Descriptors } from './api/attach.ts';
export { ConsoleHandle } from './api/console-handle.ts';
export { type Check, type Diagnosis, diagnose } from './api/diagnosis.ts';
export { chooseEngine, type EngineChoice, type KvmVerdict } from './api/engine.ts';
export { KrunError, type Stage } from './api/errors.ts';
export { InputStream } from './api/input-stream.ts';
export {
  describeKernel,
  describeKernelFile,
  type FetchKernelOptions,
  fetchKernel,
  type KernelCandidate,
  type KernelFileReport,
  type KernelReport,
} from './api/kernel-report.ts';
export type { KernelProgress } from './api/messages.ts';
export { MicroVm, type MicroVmOptions } from './api/micro-vm.ts';
export type {
  ConsoleOptions,
  DatagramInterfaceOptions,
  InterfaceOptions,
  KernelFormat,
  KernelOptions,
  MachineOptions,
  NetworkOffload,
  NetworkOptions,
  OverlayOptions,
  PortConsoleOptions,
  PortOptions,
  SerialOptions,
  PasstInterfaceOptions,
  ShareOptions,
  StreamInterfaceOptions,
  StreamKind,
  DiskOptions,
  RootDiskOptions,
  TapInterfaceOptions,
  VolumeOptions,
  VsockOptions,
  VsockPortOptions,
} from './api/options.ts';
export { OutputStream } from './api/output-stream.ts';
export { PortHandle } from './api/port-handle.ts';
export { VsockListener } from './api/vsock-handle.ts';
export { VsockStream } from './api/vsock-stream.ts';
export { type Exit, type ExitReason, exitStatus } from './api/vm-exit.ts';
