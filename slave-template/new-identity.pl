# Gives a cluster that was copied a system identifier of its own, as initdb makes one, and prints it. Its write-ahead log
# still has the old one: pg_resetwal comes next. pg_createsubscriber does the same two steps.
use strict;
use warnings;
use Time::HiRes qw(gettimeofday);

my ($path) = @ARGV;
open(my $file, '+<:raw', $path) or die "$path: $!\n";
local $/;
my $control = <$file>;

my @table = map { my $c = $_; $c = $c & 1 ? ($c >> 1) ^ 0x82F63B78 : $c >> 1 for 1 .. 8; $c } 0 .. 255;

sub crc32c {
    my $crc = 0xFFFFFFFF;
    $crc = ($crc >> 8) ^ $table[($crc ^ $_) & 0xFF] for unpack('C*', $_[0]);
    return $crc ^ 0xFFFFFFFF;
}

# Where the checksum is differs between versions of PostgreSQL; that it is right there tells.
my ($at) = grep { unpack('L', substr($control, $_, 4)) == crc32c(substr($control, 0, $_)) } map { $_ * 4 } 16 .. 120;
die "$path: no checksum found\n" unless defined $at;

my ($seconds, $microseconds) = gettimeofday();
my $identifier = ($seconds << 32) | ($microseconds << 12) | ($$ & 0xFFF);
substr($control, 0, 8) = pack('Q', $identifier);
substr($control, $at, 4) = pack('L', crc32c(substr($control, 0, $at)));
seek($file, 0, 0) or die "$path: $!\n";
print {$file} $control or die "$path: $!\n";
close($file) or die "$path: $!\n";
print "$identifier\n";
