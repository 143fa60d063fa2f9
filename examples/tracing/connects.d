#!/usr/sbin/dtrace -s
/*
 * How long connecting takes, and how it fails, for each backend. More is told in connects.bt.
 *
 *   dtrace -s examples/tracing/connects.d -p PID
 */

#pragma D option quiet

dtrace:::BEGIN
{
	printf("Tracing connects. Ctrl-C tells.\n");
}

qorb$target:::connect-start
{
	began[copyinstr(arg0), arg1] = timestamp;
}

qorb$target:::connect-done
/began[copyinstr(arg0), arg1]/
{
	@done[copyinstr(arg2)] = quantize((timestamp - began[copyinstr(arg0), arg1]) / 1000);
	@connects[copyinstr(arg2), "done"] = count();
	began[copyinstr(arg0), arg1] = 0;
}

qorb$target:::connect-failed
/began[copyinstr(arg0), arg1]/
{
	@failed[copyinstr(arg2)] = quantize((timestamp - began[copyinstr(arg0), arg1]) / 1000);
	@connects[copyinstr(arg2), "failed"] = count();
	@failures[copyinstr(arg2), copyinstr(arg3)] = count();
	began[copyinstr(arg0), arg1] = 0;
}

dtrace:::END
{
	printf("\nconnects:\n");
	printa("  %-24s %-8s %@12u\n", @connects);
	printf("\ndone after so many microseconds:\n");
	printa("  %s%@d\n", @done);
	printf("failed after so many microseconds:\n");
	printa("  %s%@d\n", @failed);
	printf("failed because:\n");
	printa("  %-24s %s: %@u\n", @failures);
}
