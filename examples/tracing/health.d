#!/usr/sbin/dtrace -s
/*
 * What comes of checking, recycling and preparing connections. More is told in health.bt.
 *
 *   dtrace -s examples/tracing/health.d -p PID
 */

#pragma D option quiet

dtrace:::BEGIN
{
	printf("Tracing checks and recycling. Failures are told as they happen, the rest by Ctrl-C.\n");
}

qorb$target:::health-check-start,
qorb$target:::recycle-start
{
	began[copyinstr(arg0), arg1] = timestamp;
	addr[copyinstr(arg0), arg1] = copyinstr(arg2);
}

qorb$target:::health-check-done
/began[copyinstr(arg0), arg1]/
{
	@check[addr[copyinstr(arg0), arg1]] = quantize((timestamp - began[copyinstr(arg0), arg1]) / 1000);
	@checks[addr[copyinstr(arg0), arg1], "done"] = count();
}

qorb$target:::health-check-failed
/began[copyinstr(arg0), arg1]/
{
	printf("%Y %s: %s slot %d.%d failed its check: %s\n", walltimestamp, copyinstr(arg0), addr[copyinstr(arg0), arg1],
	    arg1 >> 48, arg1 & 0xffffffffffff, copyinstr(arg2));
	@checks[addr[copyinstr(arg0), arg1], "failed"] = count();
}

qorb$target:::recycle-done
/began[copyinstr(arg0), arg1]/
{
	@recycle[addr[copyinstr(arg0), arg1]] = quantize((timestamp - began[copyinstr(arg0), arg1]) / 1000);
	@recycles[addr[copyinstr(arg0), arg1], "done"] = count();
}

qorb$target:::recycle-failed
/began[copyinstr(arg0), arg1]/
{
	printf("%Y %s: %s slot %d.%d could not be recycled: %s\n", walltimestamp, copyinstr(arg0),
	    addr[copyinstr(arg0), arg1], arg1 >> 48, arg1 & 0xffffffffffff, copyinstr(arg2));
	@recycles[addr[copyinstr(arg0), arg1], "failed"] = count();
}

qorb$target:::health-check-done,
qorb$target:::health-check-failed,
qorb$target:::recycle-done,
qorb$target:::recycle-failed
{
	began[copyinstr(arg0), arg1] = 0;
	addr[copyinstr(arg0), arg1] = 0;
}

qorb$target:::claim-acquire-failed
{
	@acquires[copyinstr(arg0), copyinstr(arg2)] = count();
}

dtrace:::END
{
	printf("\nchecks:\n");
	printa("  %-24s %-8s %@12u\n", @checks);
	printf("\nchecks that were done, after so many microseconds:\n");
	printa("  %s%@d\n", @check);
	printf("recycling:\n");
	printa("  %-24s %-8s %@12u\n", @recycles);
	printf("\nrecycling that was done, after so many microseconds:\n");
	printa("  %s%@d\n", @recycle);
	printf("unfit when they were to be lent:\n");
	printa("  %s: %s: %@u\n", @acquires);
}
