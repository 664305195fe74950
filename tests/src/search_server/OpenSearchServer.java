import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.geo.GeoModulePlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** OpenSearch without its scripts: each argument is a setting, NAME=VALUE. Runs until it is killed. */
public class OpenSearchServer extends Node {
  private OpenSearchServer(Environment environment) {
    super(environment, List.of(Netty4Plugin.class, GeoModulePlugin.class), false);
  }

  public static void main(String[] arguments) throws Exception {
    Settings.Builder settings = Settings.builder();
    for (String argument : arguments) {
      String[] pair = argument.split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    new OpenSearchServer(InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), null, () -> "twm")).start();
    Thread.currentThread().join();
  }
}
