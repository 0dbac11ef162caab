package ai.edgekit.demo;

import android.content.Context;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.os.Build;
import android.os.Process;

import java.util.Locale;

import org.tensorflow.lite.TensorFlowLite;

/** What the device report says about the phone and the app. */
final class DeviceInfo {
    private DeviceInfo() {}

    /** Maker and model, as in "Google Pixel 8". */
    static String name() {
        String maker = Build.MANUFACTURER;
        boolean repeated = Build.MODEL.toLowerCase(Locale.ROOT).startsWith(maker.toLowerCase(Locale.ROOT));
        String name = repeated ? Build.MODEL : maker + " " + Build.MODEL;
        return name.isEmpty() ? name : name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1);
    }

    /** The interpreter and its version, as in "TensorFlow Lite 2.16.1". */
    static String runtime() {
        try {
            return "TensorFlow Lite " + TensorFlowLite.runtimeVersion();
        } catch (LinkageError | RuntimeException error) {
            return "TensorFlow Lite"; // its native library does not load here
        }
    }

    static String system() {
        return "Android " + Build.VERSION.RELEASE + " (API " + Build.VERSION.SDK_INT + ")";
    }

    /** The system on a chip; before Android 12 the board's name. */
    static String soc() {
        return Build.VERSION.SDK_INT >= 31 ? Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL : Build.HARDWARE;
    }

    /** That of the process, which is the installed package's: a 64-bit phone runs 32-bit libraries too. */
    static String abi() {
        String[] abis = Process.is64Bit() ? Build.SUPPORTED_64_BIT_ABIS : Build.SUPPORTED_32_BIT_ABIS;
        return abis.length > 0 ? abis[0] : "unknown";
    }

    static String appVersion(Context context) {
        return info(context).versionName;
    }

    @SuppressWarnings("deprecation")
    static long appVersionCode(Context context) {
        PackageInfo info = info(context);
        return Build.VERSION.SDK_INT >= 28 ? info.getLongVersionCode() : info.versionCode;
    }

    /** When the app was installed or last updated, milliseconds since 1970. */
    static long installed(Context context) {
        return info(context).lastUpdateTime;
    }

    private static PackageInfo info(Context context) {
        try {
            return context.getPackageManager().getPackageInfo(context.getPackageName(), 0);
        } catch (PackageManager.NameNotFoundException error) {
            throw new IllegalStateException(error); // the app itself
        }
    }
}
